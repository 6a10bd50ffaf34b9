"""
A server in Glance's place whose HTTP parser is not Node's but h11. It writes down what it read of each connection: every request, the
bytes behind the last one, and what it could not read. One JSON line for each connection on standard output; the first line is the port.
"""
import asyncio
import hashlib
import json
import re
import sys

import h11

# A head may be as large as the proxy accepts.
MAX_EVENT_BYTES = 1024 * 1024
IMAGE = json.dumps({"status": "queued", "size": None}).encode()
LOOK_UP = re.compile(rb"^/v2/images/[^/]+$")


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_EVENT_BYTES)
        self.requests = []
        self.fault = None
        self.extra = 0

    def data_received(self, data):
        if self.fault is not None or (self.requests and self.requests[-1]["complete"]):
            # One request for each connection: whatever comes behind it was not decided by anybody.
            self.extra += len(data)
            return
        try:
            self.http.receive_data(data)
            while True:
                event = self.http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                if isinstance(event, h11.ConnectionClosed):
                    break
                self.take(event)
            self.extra += len(self.http.trailing_data[0]) if self.requests and self.requests[-1]["complete"] else 0
        except h11.RemoteProtocolError as error:
            self.fault = str(error)
            self.transport.close()

    def take(self, event):
        if isinstance(event, h11.Request):
            headers = {}
            for name, value in event.headers:
                headers.setdefault(name.decode("latin1"), []).append(value.decode("latin1"))
            kept = ("content-length", "transfer-encoding", "x-openstack-image-size", "connection", "expect")
            self.digest = hashlib.sha256()
            self.requests.append(
                {
                    "method": event.method.decode("latin1"),
                    "target": event.target.decode("latin1"),
                    "headers": {name: headers[name] for name in kept if name in headers},
                    "lines": len(event.headers),
                    "bytes": 0,
                    "complete": False,
                }
            )
            if self.http.they_are_waiting_for_100_continue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.http.send(h11.InformationalResponse(status_code=100, headers=[]))
        elif isinstance(event, h11.Data):
            self.requests[-1]["bytes"] += len(event.data)
            self.digest.update(event.data)
        elif isinstance(event, h11.EndOfMessage):
            request = self.requests[-1]
            request["complete"] = True
            request["sha256"] = self.digest.hexdigest()
            self.answer(request)

    def answer(self, request):
        # Keeps the connection open: whoever has more to send can do so.
        if request["method"] == "PUT":
            self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif request["method"] == "HEAD":
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        elif request["method"] == "GET" and LOOK_UP.match(request["target"].encode("latin1")):
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(IMAGE), IMAGE))
        else:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def connection_lost(self, _error):
        record = {"requests": self.requests, "extra": self.extra, "fault": self.fault}
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
