"""One module per record type; each declares its body and ``RECORD_TYPE``."""
