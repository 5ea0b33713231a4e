"""A Lambda function in Python that runs a model with onnxruntime: the usual way, as a yardstick for `predict`.

It speaks the runtime interface itself, as AWS's own client does, and loads the model before it asks for work. It parses the request and
scores one row of zeros of the model's width: no transform, no log, no checks, which `predict` all does.
"""

import http.client
import json
import os
import sys
from urllib.parse import urlsplit

import numpy
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
first = session.get_inputs()[0]
row = numpy.zeros((1, first.shape[1]), dtype=numpy.float32)

api = urlsplit(os.environ["AWS_LAMBDA_RUNTIME_API"])
base = f"{api.path}/2018-06-01/runtime/invocation"
connection = http.client.HTTPConnection(api.netloc)


def ask(method, path, body=None):
    connection.request(method, base + path, body)
    response = connection.getresponse()
    return response, response.read()


while True:
    response, body = ask("GET", "/next")
    request = json.loads(json.loads(body)["body"])
    scores = session.run(None, {first.name: row})[-1]
    answer = {"id": request["id"], "outputs": [{"name": "scores", "data": numpy.asarray(scores).ravel().tolist()}]}
    ask("POST", f"/{response.headers['lambda-runtime-aws-request-id']}/response", json.dumps({"statusCode": 200, "body": json.dumps(answer)}))
