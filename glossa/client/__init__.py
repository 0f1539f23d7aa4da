"""The Python client of the jobs API.

Its entry is `glossa.client.jobs_client.JobsClient`. It needs an HTTP library and nothing else of this checkout, so that
other programs can use it alone. Only calls to an AWS account need botocore as well. Must not know the command line.
"""
