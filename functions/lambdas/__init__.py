"""One file for each Lambda function of the template: it reads its settings, makes what it needs, and names `handler`.

`settings.py` holds all settings. A file makes everything once, when the runtime imports it; connections open at the
first call. The files must not import each other, except for the settings, and hold no other work.
"""
