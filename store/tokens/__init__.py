"""The access token of each appId, which all processes share."""
