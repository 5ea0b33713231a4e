# Writes what CloudFormation gets of a SAM template: transform.py <template.yaml> <transformed.json>
# Programs and layers are folders here and objects in S3 there, as after `sam package`.
import json
import sys

import boto3
import yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

with open(sys.argv[1]) as file:
    template = yaml.safe_load(file)
for resource in template["Resources"].values():
    for field in ("CodeUri", "ContentUri"):
        if field in resource["Properties"]:
            resource["Properties"][field] = "s3://packages/of-the-project"
parameters = {name: parameter["Default"] for name, parameter in template["Parameters"].items()}
session = boto3.Session(region_name="us-east-1")
transformed = Translator({}, Parser(), boto_session=session).translate(template, parameters)
with open(sys.argv[2], "w") as file:
    json.dump(transformed, file, indent=1)
