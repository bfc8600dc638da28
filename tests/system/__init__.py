"""The whole product on emulated boards; `make system` runs it."""
