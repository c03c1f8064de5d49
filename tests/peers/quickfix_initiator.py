"""A third party's FIX client, told what to do line by line: QuickFIX as initiator, its dictionaries validating everything.

    quickfix_initiator.py --port N --store DIR --comp-id ID [--version 4.2|4.4|5.0SP2] [--heartbeat S] [--dictionaries DIR]
                          [--username NAME --password WORD]

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

    def __init__(self, arguments):
        super().__init__()
        self.arguments = arguments

    def toAdmin(self, message, session_id):
        msg_type = fix.MsgType()
        message.getHeader().getField(msg_type)
        if msg_type.getValue() == "A" and self.arguments.username is not None:
            message.setField(fix.StringField(553, self.arguments.username))
            message.setField(fix.StringField(554, self.arguments.password))
        told("out", message)

    def fromAdmin(self, message, session_id):
        told("in", message)

    def toApp(self, message, session_id):
        told("out", message)

    def fromApp(self, message, session_id):
        told("in", message)


# BeginString, and the dictionaries that are set.
VERSIONS = {
    "4.2": ("FIX.4.2", {"DataDictionary": "FIX42.xml"}),
    "4.4": ("FIX.4.4", {"DataDictionary": "FIX44.xml"}),
    "5.0SP2": ("FIXT.1.1", {"TransportDataDictionary": "FIXT11.xml", "AppDataDictionary": "FIX50SP2.xml"}),
}


def dictionaries(arguments):
    """Setting and file of each dictionary."""
    names = VERSIONS[arguments.version][1]
    return {setting: os.path.join(arguments.dictionaries, name) for setting, name in names.items()}


class Peer:
    def __init__(self, arguments):
        self.arguments = arguments
        self.begin_string = VERSIONS[arguments.version][0]
        self.id = fix.SessionID(self.begin_string, arguments.comp_id, arguments.target)
        self.application = Application(arguments)
        self.initiator = None

    def settings(self, reset):
        path = os.path.join(self.arguments.store, "session.cfg")
        wanted = "\n".join(f"{setting}={file}" for setting, file in dictionaries(self.arguments).items())
        if self.begin_string == "FIXT.1.1":
            wanted += "\nDefaultApplVerID=FIX.5.0SP2"
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
{wanted}
ValidateFieldsOutOfOrder=Y
ValidateFieldsHaveValues=Y
ValidateUserDefinedFields=Y
AllowUnknownMsgFields=N
CheckLatency=Y
ResetOnLogon={"Y" if reset else "N"}
ResetOnLogout=N
ResetOnDisconnect=N

[SESSION]
BeginString={self.begin_string}
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
        header.setField(fix.StringField(8, self.begin_string))
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
    parser.add_argument("--version", choices=sorted(VERSIONS), default="4.4")
    parser.add_argument("--dictionaries", default=sys.prefix)
    parser.add_argument("--username")
    parser.add_argument("--password", default="")
    peer = Peer(parser.parse_args())
    missing = [file for file in dictionaries(peer.arguments).values() if not os.path.isfile(file)]
    if missing:
        say(event="skipped", why=f"no dictionary at {missing[0]}")
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
