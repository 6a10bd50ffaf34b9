"""A client that is logged in and loses its token before it uploads: keystoneauth gets a 401, logs in again and repeats the request.

Takes one argument, JSON: url, user, password and project of Keystone; client; file; regions. For each region it prints a line of JSON:
id, and what the client raised.
"""
import json
import sys

from keystoneauth1.identity import v3
from keystoneauth1.session import Session

given = json.loads(sys.argv[1])
session = Session(
    auth=v3.Password(
        auth_url=given["url"],
        username=given["user"],
        password=given["password"],
        project_name=given["project"],
        user_domain_name="Default",
        project_domain_name="Default",
    )
)
FORMAT = {"disk_format": "raw", "container_format": "bare"}


def lose_token():
    lost = {"X-Subject-Token": session.get_token()}
    session.delete(given["url"] + "/auth/tokens", headers=lost)


def pieces(file):
    while piece := file.read(65536):
        yield piece


def glanceclient(region, file):
    import glanceclient

    client = glanceclient.Client("2", session=session, region_name=region)
    image = client.images.create(name=region, **FORMAT)
    yield image.id
    client.images.upload(image.id, file)


def openstacksdk(region, data):
    from openstack.connection import Connection

    connection = Connection(session=session, region_name=region)
    image = connection.image.create_image(region, allow_duplicates=True, **FORMAT)
    yield image.id
    image.data = data
    response = image.upload(connection.image)
    if response.status_code >= 400:
        raise RuntimeError("%s %s" % (response.status_code, response.text))


CLIENTS = {
    "glanceclient": glanceclient,
    "openstacksdk, a file": openstacksdk,
    "openstacksdk, a pipe": lambda region, file: openstacksdk(region, pieces(file)),
}

for region in given["regions"]:
    with open(given["file"], "rb") as file:
        steps = CLIENTS[given["client"]](region, file)
        image_id = next(steps)
        lose_token()
        error = None
        try:
            next(steps, None)
        except Exception as raised:
            error = "%s: %s" % (type(raised).__name__, raised)
        print(json.dumps({"id": image_id, "error": error}))
