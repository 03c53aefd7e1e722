"""Decides: builds requests, reads replies, moves a wait along. No I/O, no clock, no chance in here."""
