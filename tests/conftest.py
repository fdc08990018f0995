"""What holds for every test: nothing of the developer's own environment reaches it."""

from __future__ import annotations

import os

from hypothesis import settings

# before any test module is imported: importing the workers' app reads the settings
for name in list(os.environ):
    if name.startswith(("WXCHECK_", "CELERY_", "FLOWER_", "PHOTO_APP_")) or name.lower().endswith("_proxy"):
        del os.environ[name]

# an example may take its time on a busy machine
settings.register_profile("wxcheck", deadline=None)
settings.load_profile("wxcheck")
