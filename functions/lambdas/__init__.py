"""One file for each Lambda function of the template: it reads its settings, makes what it needs, and names `handler`.

`settings.py` holds all settings, and `model_server.py` opens the client that calls the model server. The other files
make everything once, when the runtime imports them; connections open at the first call. They must not import each
other, and hold no other work.
"""
