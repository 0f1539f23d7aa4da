"""A short form of `make chaos`: a small stack whose model server is killed and stopped, under load from our client."""
