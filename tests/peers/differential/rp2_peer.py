"""Books ledgers by rp2 (Apache 2.0): FIFO, LIFO, HIFO, LOFO; buying fees in basis; long-term and short-term by its rules for the US.

It gives what was sold and not what is left.
"""

import logging
import os
import sys
import tempfile

from ledgers import part, run, say

try:
    # It keeps a log of its own in the working folder.
    folder = tempfile.TemporaryDirectory()
    os.chdir(folder.name)
    from prezzemolo.avl_tree import AVLTree
    from rp2.accounting_engine import AccountingEngine
    from rp2.configuration import Configuration
    from rp2.in_transaction import InTransaction
    from rp2.input_data import InputData
    from rp2.out_transaction import OutTransaction
    from rp2.plugin.accounting_method import fifo, hifo, lifo, lofo
    from rp2.plugin.country.us import US
    from rp2.rp2_decimal import ZERO, RP2Decimal
    from rp2.tax_engine import compute_tax
    from rp2.transaction_set import TransactionSet
except ImportError as error:
    say(skipped=f"rp2 cannot be imported: {error}")
    sys.exit(0)

logging.disable(logging.CRITICAL)

METHODS = {"FIFO": fifo, "LIFO": lifo, "HIFO": hifo, "LOFO": lofo}

# The columns of spreadsheets, which are not read here but must be named.
SETTINGS = """[general]
assets = STOCK
exchanges = E
holders = H
[in_header]
timestamp = 0
asset = 1
exchange = 2
holder = 3
transaction_type = 4
spot_price = 5
crypto_in = 6
[out_header]
timestamp = 0
asset = 1
exchange = 2
holder = 3
transaction_type = 4
spot_price = 5
crypto_out_no_fee = 6
crypto_fee = 7
[intra_header]
timestamp = 0
asset = 1
from_exchange = 2
from_holder = 3
to_exchange = 4
to_holder = 5
spot_price = 6
crypto_sent = 7
crypto_received = 8
"""


def configuration():
    with open("rp2.ini", "w", encoding="utf-8") as file:
        file.write(SETTINGS)
    return Configuration("rp2.ini", US())


CONFIGURATION = configuration()


def book(ledger):
    ins, outs, intras = (TransactionSet(CONFIGURATION, kind, "STOCK") for kind in ("IN", "OUT", "INTRA"))
    ids = {}
    for row, trade in enumerate(ledger.trades, 1):
        ids[str(row)] = trade.id
        where = (CONFIGURATION, trade.at, "STOCK", "E", "H")
        price, quantity, fees = (RP2Decimal(number) for number in (trade.price, trade.quantity, trade.fees))
        if trade.buys:
            ins.add_entry(InTransaction(*where, "BUY", price, quantity, fiat_fee=fees, row=row))
        else:
            outs.add_entry(OutTransaction(*where, "SELL", price, quantity, ZERO, fiat_fee=fees, row=row))
    methods = AVLTree()
    methods.insert_node(1, METHODS[ledger.method].AccountingMethod())
    data = InputData("STOCK", ins, outs, intras)
    # The set of gains alone: the reports around it are not asked for.
    computed = compute_tax(CONFIGURATION, AccountingEngine(methods), data)
    trades = {}
    for gain in computed.gain_loss_set:
        parts = trades.setdefault(ids[gain.taxable_event.internal_id], [])
        parts.append(
            part(
                ids[gain.acquired_lot.internal_id],
                gain.crypto_amount,
                gain.fiat_cost_basis,
                gain.fiat_gain,
                gain.is_long_term_capital_gains(),
            )
        )
    return trades, None


run(book)
