"""Tests: unit (one module), integration (with servers), acceptance (whole processes), chaos. Imports every room."""
