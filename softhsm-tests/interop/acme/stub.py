"""What stands on the other side of validation: a DNS server, a web server and a TLS server, told what to say by the clients'
hooks over HTTP. Python standard library only."""

import http.server
import json
import pathlib
import socket
import socketserver
import ssl
import struct
import threading
import urllib.request

A, NS, CNAME, SOA, TXT, AAAA = 1, 2, 5, 6, 16, 28


def labels(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".") if label) + b"\0"


class Zone:
    """Every name below `test` leads to this machine; texts are what was written."""

    def __init__(self):
        self.texts, self.lock, self.asked = {}, threading.Lock(), 0

    def add(self, name, text):
        with self.lock:
            self.texts.setdefault(name.rstrip(".").lower(), []).append(text)

    def clear(self, name):
        with self.lock:
            self.texts.pop(name.rstrip(".").lower(), None)

    def answers(self, name, kind):
        name = name.lower()
        with self.lock:
            if kind == TXT:
                return [bytes([len(text)]) + text.encode() for text in self.texts.get(name, [])]
        if kind == A and name.endswith("test") and not name.startswith("_"):
            return [socket.inet_aton("127.0.0.1")]
        if kind == NS and name == "test":
            return [labels("ns.test")]
        if kind == SOA and name == "test":
            return [soa()]
        return []

    def answer(self, query):
        """The answer to one query, in the DNS's own format (RFC 1035 §4)."""
        name, at = [], 12
        while query[at]:
            name.append(query[at + 1 : at + 1 + query[at]].decode("ascii"))
            at += 1 + query[at]
        question = query[12 : at + 5]
        (kind,) = struct.unpack("!H", query[at + 1 : at + 3])
        found = self.answers(".".join(name), kind)
        self.asked += 1
        records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(data)) + data for data in found)
        authority = b"" if found else labels("test") + struct.pack("!HHIH", SOA, 1, 1, len(soa())) + soa()
        counts = struct.pack("!HHHH", 1, len(found), 0 if found else 1, 0)
        return query[:2] + b"\x85\x80" + counts + question + records + authority


def soa():
    return labels("ns.test") + labels("admin.test") + struct.pack("!IIIII", 1, 60, 60, 60, 1)


def serve_dns(zone, port):
    class Udp(socketserver.BaseRequestHandler):
        def handle(self):
            data, sock = self.request
            sock.sendto(zone.answer(data), self.client_address)

    class Tcp(socketserver.BaseRequestHandler):
        def handle(self):
            while length := self.request.recv(2):
                answer = zone.answer(self.request.recv(struct.unpack("!H", length)[0]))
                self.request.sendall(struct.pack("!H", len(answer)) + answer)

    for server, handler in ((socketserver.ThreadingUDPServer, Udp), (socketserver.ThreadingTCPServer, Tcp)):
        server.allow_reuse_address = True
        start(server(("127.0.0.1", port), handler))


def serve_orders(zone, port):
    """`POST /add {"name", "text"}` and `/clear {"name"}`, for hooks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802, the library's name
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            zone.add(body["name"], body["text"]) if self.path == "/add" else zone.clear(body["name"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    start(http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler))


class Web:
    """Serves a folder of challenge files while the block lasts."""

    def __init__(self, folder, port):
        self.folder, self.port, self.hits = pathlib.Path(folder), port, 0

    def __enter__(self):
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                file = web.folder / pathlib.PurePosixPath(self.path).name
                web.hits += 1
                found = self.path.startswith("/.well-known/acme-challenge/") and file.is_file()
                body = file.read_bytes() if found else b"nothing here"
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        http.server.ThreadingHTTPServer.allow_reuse_address = True
        self.server = start(http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler))
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Alpn:
    """Speaks acme-tls/1 with whichever certificate lies in the folder under the name that is asked for: NAME.crt.pem and
    NAME.key.pem, as dehydrated leaves them."""

    def __init__(self, folder, port):
        self.folder, self.port, self.hits = pathlib.Path(folder), port, 0

    def context(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["acme-tls/1"])
        if name:
            context.load_cert_chain(self.folder / f"{name}.crt.pem", self.folder / f"{name}.key.pem")
        return context

    def choose(self, connection, name, _context):
        self.hits += 1
        try:
            connection.context = self.context(name or "")
        except OSError:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        return None

    def __enter__(self):
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                context = outer.context(None)
                context.sni_callback = outer.choose
                try:
                    with context.wrap_socket(self.request, server_side=True) as connection:
                        connection.recv(1)
                except OSError:
                    pass

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.server = start(socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Handler))
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def start(server):
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def order(port, what, **body):
    """Tells the stub of another process."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{what}", json.dumps(body).encode(), method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()
