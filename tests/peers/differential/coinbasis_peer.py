"""Books ledgers by coinbasis (MIT or Apache 2.0): FIFO, LIFO, HIFO, average cost, named lots; fees in basis and proceeds.

It numbers no lots in what it gives, so a part's lot is told by when it was acquired, as `executed_at` says it; under average
cost there is none. The lots that are left are one holding.
"""

import sys
from datetime import datetime, timezone
from decimal import Decimal

from ledgers import exact, part, run, say

try:
    from coinbasis import Buy, CostBasisMethod, LotPick, Portfolio, Sell, Term
except ImportError as error:
    say(skipped=f"coinbasis cannot be imported: {error}")
    sys.exit(0)

METHODS = {
    "FIFO": CostBasisMethod.FIFO,
    "LIFO": CostBasisMethod.LIFO,
    "HIFO": CostBasisMethod.HIFO,
    "AVERAGE": CostBasisMethod.AVERAGE,
}


def transaction(trade):
    kind = Buy if trade.buys else Sell
    at = datetime.strptime(trade.at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return kind(
        timestamp=at, wallet="W", asset="A", quantity=trade.quantity, unit_price=trade.price, fee=trade.fees
    )


def book(ledger):
    transactions = [transaction(trade) for trade in ledger.trades]
    texts = {t.timestamp: trade.at for t, trade in zip(transactions, ledger.trades)}
    portfolio = Portfolio.from_transactions(transactions)
    lots = None
    if ledger.named():
        places = {trade.id: place for place, trade in enumerate(ledger.trades)}
        picks = {
            place: [LotPick(acquisition_index=places[trade.lot], quantity=trade.quantity)]
            for place, trade in enumerate(ledger.trades)
            if not trade.buys
        }
        gains = portfolio.realized_gains_with_selection(picks)
    else:
        method = METHODS[ledger.method]
        gains = portfolio.realized_gains(method)
        held = portfolio.holdings(method)
        lots = [{"lot": None, "quantity": exact(lot.quantity), "cost": exact(lot.cost_basis)} for lot in held]
    # The parts of a sale stand together, in the order of the sales.
    trades, gains = {}, iter(gains)
    for trade in ledger.trades:
        if trade.buys:
            continue
        parts, rest = [], trade.quantity
        while rest > Decimal(0):
            gain = next(gains)
            rest -= gain.quantity
            lot = gain.acquired_at and texts[gain.acquired_at]
            long = None if gain.term is None else gain.term == Term.LONG
            parts.append(part(lot, gain.quantity, gain.cost_basis, gain.gain, long))
        trades[trade.id] = parts
    return trades, lots


run(book)
