"""One set of canvases for every way to set broker, results and store apart, and for every Celery of applications."""
