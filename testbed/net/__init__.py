"""Byte connections, links and the HTTP/1.1 server: what servers and engines share."""
