"""Settings, names, logs and the Celery configuration. Imports the client, and no other room."""
