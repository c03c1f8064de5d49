"""What the peers share: ledgers read from the lines of `lotbook replay`, one ledger an account, and answers printed as JSON lines.

Each peer takes the very file that the product takes, on standard input, and prints for each account

    {"account": "L1", "trades": {"t7": [{"lot": "t3", "quantity": "5", "cost": "50", "realized": "2", "long": false}]},
     "lots": [{"lot": "t4", "quantity": "1", "cost": "12"}]}

or {"account": "L1", "error": "..."} where it refuses the ledger. What a peer does not say is null. The last line is
{"done": 12}, the number of accounts; the only line is {"skipped": "..."} where the package is not installed.
"""

import json
import sys
from decimal import Decimal


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")


class Trade:
    """A trade's line, its numbers as decimals."""

    def __init__(self, line):
        self.id = line["trade_id"]
        self.buys = line["side"] == "buy"
        self.quantity = Decimal(line["quantity"])
        self.price = Decimal(line["price"])
        self.fees = Decimal(line.get("fees") or 0)
        self.date = line["effective_date"]
        self.at = line.get("executed_at")
        self.order = line["source_order"]
        self.lot = line.get("lot")


class Ledger:
    """An account: its contract and its trades in chronological order, whatever order they arrived in."""

    def __init__(self, contract):
        self.account = contract["account"]
        self.method = contract["lot_method"]
        self.trades = []

    def named(self):
        """Whether its sales name their lots."""
        return any(trade.lot for trade in self.trades)


def ledgers(lines):
    """All ledgers of a file, in the order of their contracts: trades as corrected, and none that was cancelled."""
    found, trades, corrects, cancelled = {}, {}, [], set()
    for text in lines:
        line = json.loads(text)
        if line["type"] == "contract":
            found[line["account"]] = Ledger(line)
        elif line["type"] == "trade":
            trades[line["trade_id"]] = line
        elif line["type"] == "correct":
            corrects.append(line)
        else:
            cancelled.add(line["cancels"])
    for correct in corrects:
        # No trade has more than one that stands.
        if correct["trade_id"] not in cancelled:
            changes = {field: value for field, value in correct.items() if field not in ("type", "trade_id", "corrects")}
            trades[correct["corrects"]].update(changes)
    for trade_id, line in trades.items():
        if trade_id not in cancelled:
            found[line["account"]].trades.append(Trade(line))
    for ledger in found.values():
        ledger.trades.sort(key=lambda trade: (trade.date, trade.at or "", trade.order))
    return list(found.values())


def exact(number):
    """A decimal in digits, without an exponent."""
    return format(number, "f")


def part(lot, quantity, cost, realized=None, long=None):
    realized = None if realized is None else exact(realized)
    return {"lot": lot, "quantity": exact(quantity), "cost": exact(cost), "realized": realized, "long": long}


def run(book):
    """Answers every ledger on standard input by `book(ledger)`, which gives the trades' parts and the open lots."""
    count = 0
    for ledger in ledgers(sys.stdin):
        try:
            trades, lots = book(ledger)
            say(account=ledger.account, trades=trades, lots=lots)
        except Exception as error:  # A refusal is an answer, and the other ledgers have theirs.
            say(account=ledger.account, error=f"{type(error).__name__}: {error}")
        count += 1
    say(done=count)
