"""The callback endpoint: verifies WeChat's pushes and puts them on the queue. Imports status and all below it."""
