"""The station's pages and programs' interface.  Everything shown is asked of ``station.query``, which audits it."""
