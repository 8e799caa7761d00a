"""Mutation testing of the judge: small defects are planted in the oracle itself, and the tests must notice them."""
