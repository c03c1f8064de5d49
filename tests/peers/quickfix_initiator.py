"""A third party's FIX client, told what to do line by line: QuickFIX as initiator, its FIX44 dictionary validating everything.

    quickfix_initiator.py --port N --store DIR --comp-id ID [--heartbeat S] [--dictionary FILE]

Takes one JSON object a line on standard input, prints one JSON object a line on standard output.

    {"do": "start"}                                  connects, and again whenever the connection is lost
    {"do": "start", "reset": true}                   the same, with ResetSeqNumFlag on each Logon
    {"do": "send", "type": "8", "fields": [[17, "E1"], ...], "header": [[97, "Y"]], "sides": [[[54, "1"], ...]]}
    {"do": "numbers"}                                prints the next numbers of both directions
    {"do": "expect", "next": 5}                      sets the number that it expects next: what is beyond is asked for
    {"do": "cut"}                                    loses the connection without a Logout; it connects again by itself
    {"do": "logout"}                                 Logout, waits for the answer, stays away
    {"do": "exit"}

    {"event": "logon"} {"event": "logout"} {"event": "in" | "out", "type": "AR", "fields": [[8, "FIX.4.4"], ...]}
    {"event": "numbers", "sender": 7, "target": 9} {"event": "stopped"} {"event": "skipped", "why": "..."}
"""

import argparse
import json
import os
import socket
import sys
import threading

SAYING = threading.Lock()


def say(**what):
    # The engine's callbacks run in its own threads; a line must not be cut by another.
    with SAYING:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


try:
    import quickfix as fix
except ImportError as error:
    say(event="skipped", why=f"QuickFIX cannot be imported: {error}")
    sys.exit(0)


def fields_of(message):
    """Every field in its order on the wire, groups included."""
    pairs = (pair.partition("=") for pair in message.toString().split("\x01") if pair)
    return [[int(tag), value] for tag, _, value in pairs]


def told(direction, message):
    fields = fields_of(message)
    say(event=direction, type=dict((tag, value) for tag, value in fields)[35], fields=fields)


class Application(fix.Application):
    def onCreate(self, session_id):
        pass

    def onLogon(self, session_id):
        say(event="logon")

    def onLogout(self, session_id):
        say(event="logout")

    def toAdmin(self, message, session_id):
        told("out", message)

    def fromAdmin(self, message, session_id):
        told("in", message)

    def toApp(self, message, session_id):
        told("out", message)

    def fromApp(self, message, session_id):
        told("in", message)


class Peer:
    def __init__(self, arguments):
        self.arguments = arguments
        self.id = fix.SessionID("FIX.4.4", arguments.comp_id, arguments.target)
        self.application = Application()
        self.initiator = None

    def settings(self, reset):
        path = os.path.join(self.arguments.store, "session.cfg")
        with open(path, "w", encoding="ascii") as file:
            file.write(
                f"""[DEFAULT]
ConnectionType=initiator
ReconnectInterval=1
LogonTimeout=10
LogoutTimeout=5
NonStopSession=Y
FileStorePath={self.arguments.store}
PersistMessages=Y
UseDataDictionary=Y
DataDictionary={self.arguments.dictionary}
ValidateFieldsOutOfOrder=Y
ValidateFieldsHaveValues=Y
ValidateUserDefinedFields=Y
AllowUnknownMsgFields=N
CheckLatency=Y
ResetOnLogon={"Y" if reset else "N"}
ResetOnLogout=N
ResetOnDisconnect=N

[SESSION]
BeginString=FIX.4.4
SenderCompID={self.arguments.comp_id}
TargetCompID={self.arguments.target}
SocketConnectHost=127.0.0.1
SocketConnectPort={self.arguments.port}
HeartBtInt={self.arguments.heartbeat}
"""
            )
        return fix.SessionSettings(path)

    def session(self):
        return fix.Session.lookupSession(self.id)

    def start(self, reset):
        settings = self.settings(reset)
        self.stores = fix.FileStoreFactory(settings)
        self.initiator = fix.SocketInitiator(self.application, self.stores, settings)
        self.initiator.start()

    def stop(self):
        if self.initiator is not None:
            self.initiator.stop()
            self.initiator = None
        say(event="stopped")

    def cut(self):
        """Shuts the engine's socket under it, as a lost network does. It has no call for that: its stop says Logout."""
        for name in os.listdir("/proc/self/fd"):
            try:
                held = socket.socket(fileno=os.dup(int(name)))
            except OSError:
                continue
            try:
                if held.getpeername()[:2] == ("127.0.0.1", self.arguments.port):
                    held.shutdown(socket.SHUT_RDWR)
            except (OSError, ValueError):
                pass
            finally:
                held.close()

    def send(self, order):
        message = fix.Message()
        header = message.getHeader()
        header.setField(fix.StringField(8, "FIX.4.4"))
        header.setField(fix.StringField(35, order["type"]))
        for tag, value in order.get("header", []):
            header.setField(fix.StringField(tag, value))
        for tag, value in order.get("fields", []):
            message.setField(fix.StringField(tag, value))
        for side in order.get("sides", []):
            group = fix.Group(552, 54)
            for tag, value in side:
                group.setField(fix.StringField(tag, value))
            message.addGroup(group)
        if not fix.Session.sendToTarget(message, self.id):
            # It is stored, and sent when the other side asks for it.
            say(event="queued")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--comp-id", required=True)
    parser.add_argument("--target", default="LOTBOOK")
    parser.add_argument("--heartbeat", type=int, default=30)
    parser.add_argument("--dictionary", default=os.path.join(sys.prefix, "FIX44.xml"))
    peer = Peer(parser.parse_args())
    if not os.path.isfile(peer.arguments.dictionary):
        say(event="skipped", why=f"no FIX44 dictionary at {peer.arguments.dictionary}")
        return
    say(event="ready")
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "start":
            peer.start(order.get("reset", False))
        elif order["do"] == "send":
            peer.send(order)
        elif order["do"] == "numbers":
            session = peer.session()
            say(event="numbers", sender=session.getExpectedSenderNum(), target=session.getExpectedTargetNum())
        elif order["do"] == "expect":
            peer.session().setNextTargetMsgSeqNum(order["next"])
        elif order["do"] == "cut":
            peer.cut()
        elif order["do"] == "logout":
            peer.stop()
        elif order["do"] == "exit":
            break
    # The engine's threads end with the process.
    os._exit(0)


if __name__ == "__main__":
    main()
