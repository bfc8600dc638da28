"""One module a record type; each declares its body and ``RECORD_TYPE``."""
