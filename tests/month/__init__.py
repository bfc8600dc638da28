"""A simulated month of an agency, written as signed records straight into a station's store, with its own truth.

``make_month(FULL)`` draws it, :func:`tests.month.fill.fill` stores it; what a page or report says is compared with
``month.truth``, which is counted while the month is drawn, not read back from the store.
"""
