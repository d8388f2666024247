"""The engine's own behaviour, written as plugins against the same hooks as everybody's."""
