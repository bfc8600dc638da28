"""People's accounts: rights, passwords, second factors, sessions and tokens of programs."""
