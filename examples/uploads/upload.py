"""Uploads an image file with its size and digest: the proxy refuses the upload with 400 if a byte changes on the way.

Usage: OS_IMAGE_URL=http://127.0.0.1:9292 OS_TOKEN=... python3 upload.py IMAGE_ID FILE
"""

import base64
import hashlib
import os
import sys

import requests


def digest_of(file):
    """The value of Content-Digest, as RFC 9530 defines it."""
    sha256 = hashlib.sha256()
    for piece in iter(lambda: file.read(1024 * 1024), b""):
        sha256.update(piece)
    file.seek(0)
    return "sha-256=:%s:" % base64.b64encode(sha256.digest()).decode("ascii")


def upload(url, token, image_id, path):
    with open(path, "rb") as file:
        headers = {
            "X-Auth-Token": token,
            "Content-Type": "application/octet-stream",
            "Content-Digest": digest_of(file),
            "x-openstack-image-size": str(os.path.getsize(path)),
        }
        answer = requests.put("%s/v2/images/%s/file" % (url, image_id), data=file, headers=headers)
    if answer.status_code != 204:
        sys.exit("%d: %s" % (answer.status_code, answer.text))


if __name__ == "__main__":
    upload(
        os.environ.get("OS_IMAGE_URL", "http://127.0.0.1:9292"),
        os.environ.get("OS_TOKEN", ""),
        *sys.argv[1:3]
    )
