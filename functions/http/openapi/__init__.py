"""The OpenAPI document: what each route takes and answers, and how the document is made of that.

`functions/http/openapi_document.py` joins the parts. Must not answer requests.
"""
