"""A small application: users post photos and comments; each is shown once WeChat has found nothing wrong with it."""
