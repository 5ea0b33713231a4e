// Validates a ServiceMonitor against the Prometheus Operator's types: node monitor.mjs <folder with node_modules> <JSON>.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, object] = process.argv.slice(2);
const types = join(resolve(modules, "node_modules"), "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor.js");
const { ServiceMonitor } = await import(pathToFileURL(types));
const { apiVersion, kind, ...fields } = JSON.parse(readFileSync(object, "utf8"));
if (apiVersion !== ServiceMonitor.apiVersion || kind !== ServiceMonitor.kind) {
    throw new Error(`${apiVersion} ${kind} is no ServiceMonitor`);
}
new ServiceMonitor(fields).validate();
