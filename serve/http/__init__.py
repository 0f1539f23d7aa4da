"""The HTTP side of the model server: routes in the Open Inference Protocol v2, and the answers they give.

The entries are `model_app` in routes.py, for one model, and `FrontRoutes` in front_routes.py, for the server as a
whole. Must not import Ray, and must not know engines or how a replica computes an answer.
"""
