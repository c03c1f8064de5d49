"""Books ledgers by beancount (GPL 2.0, run as a process of its own): FIFO, LIFO, HIFO and named lots, long and short.

Each ledger becomes an account of a ledger file in beancount's own language, read by its parser and its booking. A
trade that flips is written as two transactions, the closing one first, for beancount has no flip. What it realized is what
beancount puts into the income account to balance the transaction.

    --flip-whole     writes a flip as the one posting that it is, to be refused
"""

import sys
from decimal import Decimal, localcontext

from ledgers import exact, part, run, say

try:
    from beancount.core.inventory import Inventory
    from beancount.core.data import Transaction
    from beancount.parser import booking, parser
except ImportError as error:
    say(skipped=f"beancount cannot be imported: {error}")
    sys.exit(0)

FLIP_WHOLE = "--flip-whole" in sys.argv


def written(trade, held):
    """A trade's transactions; `held` is the quantity before it."""
    signed = trade.quantity if trade.buys else -trade.quantity
    closed = Decimal(0)
    if held and (held > 0) != (signed > 0):
        closed = signed if FLIP_WHOLE or abs(signed) <= abs(held) else -held
    for units, opens in ((closed, False), (signed - closed, True)):
        if not units:
            continue
        if opens:
            cost = f'{{{exact(trade.price)} USD, {trade.date}, "{trade.id}"}}'
        else:
            cost = f'{{"{trade.lot}"}}' if trade.lot else "{}"
        with localcontext() as context:
            context.prec = 60
            cash = -units * trade.price
        yield f'{trade.date} * "{trade.id}"'
        yield f"  Assets:Book  {exact(units)} STOCK {cost}" + ("" if opens else f" @ {exact(trade.price)} USD")
        # All its decimals, or beancount would round what it fills in.
        yield f"  Assets:Cash  {cash:.16f} USD"
        if not opens:
            yield "  Income:Profit"


def book(ledger):
    method = "STRICT" if ledger.named() else ledger.method
    text, held = [f'1900-01-01 open Assets:Book STOCK "{method}"'], Decimal(0)
    for trade in ledger.trades:
        text += written(trade, held)
        held += trade.quantity if trade.buys else -trade.quantity
    entries, errors, options = parser.parse_string("\n".join(text) + "\n")
    entries, wrong = booking.book(entries, options)
    if errors or wrong:
        raise ValueError((errors + wrong)[0].message)
    trades, inventory = {}, Inventory()
    for entry in entries:
        if not isinstance(entry, Transaction):
            continue
        parts, realized = [], None
        for posting in entry.postings:
            if posting.account == "Income:Profit":
                realized = -posting.units.number
            elif posting.account == "Assets:Book":
                inventory.add_amount(posting.units, posting.cost)
                if posting.cost.label != entry.narration:
                    quantity = abs(posting.units.number)
                    parts.append(part(posting.cost.label, quantity, quantity * posting.cost.number))
        if parts:
            # It realizes for the transaction, not for each part: all of it stands with the last one.
            parts[-1]["realized"] = exact(realized or Decimal(0))
            trades[entry.narration] = parts
    lots = [
        {
            "lot": position.cost.label,
            "quantity": exact(position.units.number),
            "cost": exact(abs(position.units.number) * position.cost.number),
        }
        for position in inventory
    ]
    return trades, lots


run(book)
