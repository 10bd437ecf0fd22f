#!/usr/bin/env python3
"""Checks the manifests in deploy/kubernetes without a cluster and without a network.

Each document against the schemas of Kubernetes (strict: no field that it does not know), in the
oldest version that is promised and the newest that the checker has; then what no schema sees: that
names within a file mean each other. Every rule of ours is broken once on purpose, and must be seen.

    python3 tests/deploy/kubernetes.py [BINARY]

With a gaggle binary the flags in the manifests are checked by it as well. Needs the package in
requirements.txt beside this file; tests/run --only deploy installs it into a place of its own.
"""

import copy
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
# Native sidecars are on by default from 1.29 on.
VERSIONS = ["1.29", "1.37"]
WORKLOADS = {"StatefulSet", "DaemonSet", "Deployment"}
PORTS = {"api": 8000, "discovery": 2900}


def workloads(docs):
    return [doc for doc in docs if doc["kind"] in WORKLOADS]


def services(docs):
    return [doc for doc in docs if doc["kind"] == "Service"]


def pod(workload):
    return workload["spec"]["template"]["spec"]


def labels(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


def running(workload):
    """The containers that go on running: ordinary ones and native sidecars."""
    sidecars = [c for c in pod(workload).get("initContainers", []) if c.get("restartPolicy")]
    return sidecars + pod(workload)["containers"]


def everyone(workload):
    return pod(workload).get("initContainers", []) + pod(workload)["containers"]


def members(workload):
    return [c for c in running(workload) if c["image"].split(":")[0] == "gaggle"]


def selects(selector, workload):
    return bool(selector) and selector.items() <= labels(workload).items()


def a_workload_selects_its_own_pods(docs):
    for workload in workloads(docs):
        if not selects(workload["spec"]["selector"]["matchLabels"], workload):
            yield f"{workload['kind']} {workload['metadata']['name']} does not select its pods"


def a_selector_finds_pods(docs):
    chosen = [(doc, doc["spec"].get("selector")) for doc in services(docs)]
    budgets = [doc for doc in docs if doc["kind"] == "PodDisruptionBudget"]
    chosen += [(doc, doc["spec"]["selector"].get("matchLabels")) for doc in budgets]
    for doc, selector in chosen:
        if not any(selects(selector, workload) for workload in workloads(docs)):
            yield f"{doc['kind']} {doc['metadata']['name']} selects no pods"


def a_service_leads_to_ports_that_are_there(docs):
    for service in services(docs):
        for workload in workloads(docs):
            if not selects(service["spec"].get("selector"), workload):
                continue
            open_ports = {
                (port["name"], port.get("protocol", "TCP"))
                for container in running(workload)
                for port in container.get("ports", [])
            }
            for port in service["spec"]["ports"]:
                wanted = (port["targetPort"], port.get("protocol", "TCP"))
                if wanted not in open_ports:
                    yield f"Service {service['metadata']['name']} leads to no port {wanted}"
                if port["port"] != PORTS.get(port["targetPort"]):
                    yield f"Service {service['metadata']['name']}: port {port['port']}"


def a_members_ports_are_those_that_it_listens_at(docs):
    for workload in workloads(docs):
        for container in members(workload):
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            if ports != PORTS:
                yield f"{container['name']} has the ports {ports}"


def a_probe_asks_a_port_that_is_there(docs):
    for workload in workloads(docs):
        for container in members(workload):
            names = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container.get(probe, {}).get("httpGet")
                if not asked:
                    yield f"{container['name']} has no {probe}"
                    continue
                path = "/readyz" if probe == "readinessProbe" else "/livez"
                if asked["port"] not in names:
                    yield f"{probe} asks the port {asked['port']}, which is not there"
                if asked.get("scheme") != "HTTPS" or asked["path"] != path:
                    yield f"{probe} asks {asked.get('scheme')} {asked['path']}"


def volumes_are_there_and_used(docs):
    for workload in workloads(docs):
        claims = workload["spec"].get("volumeClaimTemplates", [])
        there = {volume["name"] for volume in pod(workload).get("volumes", [])}
        there |= {claim["metadata"]["name"] for claim in claims}
        mounts = [m for c in everyone(workload) for m in c.get("volumeMounts", [])]
        used = {mount["name"] for mount in mounts}
        if there != used:
            yield f"volumes that are not both there and used: {sorted(there ^ used)}"


def a_member_keeps_its_data_in_a_volume(docs):
    for workload in workloads(docs):
        for container in members(workload):
            env = {entry["name"]: entry.get("value") for entry in container["env"]}
            writable = [
                mount["mountPath"]
                for mount in container.get("volumeMounts", [])
                if not mount.get("readOnly")
            ]
            if env.get("GAGGLE_DATA") not in writable:
                yield f"{container['name']} keeps its data in {env.get('GAGGLE_DATA')}"


def members_look_for_a_headless_service_of_theirs(docs):
    for workload in workloads(docs):
        headless = {
            service["metadata"]["name"]
            for service in services(docs)
            if service["spec"].get("clusterIP") == "None"
            and service["spec"].get("publishNotReadyAddresses") is True
            and selects(service["spec"].get("selector"), workload)
        }
        for container in members(workload):
            line = " ".join(container["args"])
            place = r"--discover=\S*\bdns:([\w-]+)\.\$\(NAMESPACE\)\.svc\.cluster\.local\b"
            found = re.findall(place, line)
            if len(found) != 1 or found[0] not in headless:
                yield f"{container['name']} looks for {found}, its headless services are {headless}"
        of_set = workload["spec"].get("serviceName")
        if workload["kind"] == "StatefulSet" and of_set not in headless:
            yield f"the StatefulSet names the service {of_set}"


def variables_in_arguments_are_defined(docs):
    for workload in workloads(docs):
        for container in members(workload):
            defined = {entry["name"] for entry in container["env"]}
            used = set(re.findall(r"\$\((\w+)\)", " ".join(container["args"])))
            if not used <= defined:
                yield f"{container['name']} uses {sorted(used - defined)}, which are not defined"


def secrets_have_what_is_read_of_them(docs):
    shape = yaml.safe_load((FOLDER / "secret.yaml").read_text())
    name, keys = shape["metadata"]["name"], set(shape["stringData"])
    if keys != {"secret", "password"}:
        yield f"secret.yaml has {sorted(keys)}"
    for workload in workloads(docs):
        for container in members(workload):
            by_name = {entry["name"]: entry for entry in container["env"]}
            mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
            volumes = {v["name"]: v for v in pod(workload)["volumes"]}
            for variable, key in (("GAGGLE_SECRET", "secret"), ("GAGGLE_PASSWORD", "password")):
                # An empty variable counts as none, and the member would make a secret of its own;
                # an empty file is refused.
                if variable in by_name:
                    yield f"{variable} is a variable, not a file"
                path = by_name.get(f"{variable}_FILE", {}).get("value", "")
                folders = {
                    mounts[v]: volumes[v]["secret"]["secretName"]
                    for v in mounts
                    if "secret" in volumes.get(v, {})
                }
                if folders.get(os.path.dirname(path)) != name or os.path.basename(path) != key:
                    yield f"{variable}_FILE is {path!r}"


def nothing_is_confidential_in_a_manifest(docs):
    for doc in docs:
        if doc["kind"] == "Secret" and any(doc.get("stringData", {}).values()):
            yield "the secret has a value"
    for workload in workloads(docs):
        for container in members(workload):
            for entry in container["env"]:
                is_file = entry["name"].endswith("_FILE")
                if re.search("SECRET|PASSWORD", entry["name"]) and not is_file and "value" in entry:
                    yield f"{entry['name']} has its value in the manifest"


def containers_may_do_little(docs):
    for workload in workloads(docs):
        whole = pod(workload).get("securityContext", {})
        for container in everyone(workload):
            own = container.get("securityContext", {})
            name = container["name"]
            if not own.get("readOnlyRootFilesystem"):
                yield f"{name} may write its root"
            if own.get("allowPrivilegeEscalation") is not False:
                yield f"{name} may gain rights"
            if own.get("capabilities", {}).get("drop") != ["ALL"]:
                yield f"{name} keeps capabilities"
            is_user = own.get("runAsNonRoot", whole.get("runAsNonRoot"))
            if container in running(workload) and not is_user:
                yield f"{name} may run as root"
            if own.get("privileged"):
                yield f"{name} is privileged"


def a_stop_has_time_to_end(docs):
    for workload in workloads(docs):
        if pod(workload).get("terminationGracePeriodSeconds", 30) < 15:
            yield "a member has less time to stop than --stop-timeout"


def voters_are_members_of_the_set(docs):
    for workload in workloads(docs):
        for container in members(workload):
            voters = re.findall(r"--voters=(\S+)", " ".join(container["args"]))
            if not voters:
                continue
            count, name = workload["spec"]["replicas"], workload["metadata"]["name"]
            if voters[0].split(",") != [f"{name}-{at}" for at in range(count)]:
                yield f"the voters are {voters[0]}"


RULES = [
    a_workload_selects_its_own_pods,
    a_selector_finds_pods,
    a_service_leads_to_ports_that_are_there,
    a_members_ports_are_those_that_it_listens_at,
    a_probe_asks_a_port_that_is_there,
    volumes_are_there_and_used,
    a_member_keeps_its_data_in_a_volume,
    members_look_for_a_headless_service_of_theirs,
    variables_in_arguments_are_defined,
    secrets_have_what_is_read_of_them,
    nothing_is_confidential_in_a_manifest,
    containers_may_do_little,
    a_stop_has_time_to_end,
    voters_are_members_of_the_set,
]


def first(docs, kind):
    return next(doc for doc in docs if doc["kind"] == kind)


def member(docs):
    return members(workloads(docs)[0])[0]


def args(change):
    def fault(docs):
        container = member(docs)
        container["args"] = [change(word) for word in container["args"]]

    return fault


# A fault in statefulset.yaml, and the rule that must see it.
PLANTED = [
    (lambda d: labels(workloads(d)[0]).clear(), a_workload_selects_its_own_pods),
    (lambda d: services(d)[1]["spec"]["selector"].update(app="x"), a_selector_finds_pods),
    (
        lambda d: first(d, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].update(a="x"),
        a_selector_finds_pods,
    ),
    (
        lambda d: services(d)[0]["spec"]["ports"][1].update(protocol="TCP"),
        a_service_leads_to_ports_that_are_there,
    ),
    (
        lambda d: member(d)["ports"][0].update(containerPort=8001),
        a_members_ports_are_those_that_it_listens_at,
    ),
    (
        lambda d: member(d)["livenessProbe"]["httpGet"].update(port="http"),
        a_probe_asks_a_port_that_is_there,
    ),
    (
        lambda d: member(d)["readinessProbe"]["httpGet"].update(scheme="HTTP"),
        a_probe_asks_a_port_that_is_there,
    ),
    (lambda d: member(d)["volumeMounts"][1].update(name="secret"), volumes_are_there_and_used),
    (
        lambda d: member(d)["volumeMounts"][0].update(mountPath="/var"),
        a_member_keeps_its_data_in_a_volume,
    ),
    (
        lambda d: services(d)[0]["spec"].update(publishNotReadyAddresses=False),
        members_look_for_a_headless_service_of_theirs,
    ),
    (
        lambda d: services(d)[0]["metadata"].update(name="other"),
        members_look_for_a_headless_service_of_theirs,
    ),
    (
        args(lambda word: word.replace("dns:gaggle.", "dns:gaggle-api.")),
        members_look_for_a_headless_service_of_theirs,
    ),
    (
        args(lambda word: word.replace("$(POD_NAME)", "$(PODNAME)")),
        variables_in_arguments_are_defined,
    ),
    (
        lambda d: pod(workloads(d)[0])["volumes"][0]["secret"].update(secretName="x"),
        secrets_have_what_is_read_of_them,
    ),
    (
        lambda d: member(d)["env"].append({"name": "GAGGLE_SECRET"}),
        secrets_have_what_is_read_of_them,
    ),
    (
        lambda d: member(d)["env"].append({"name": "GAGGLE_SECRET", "value": "x"}),
        nothing_is_confidential_in_a_manifest,
    ),
    (lambda d: member(d)["securityContext"].clear(), containers_may_do_little),
    (
        lambda d: pod(workloads(d)[0])["securityContext"].pop("runAsNonRoot"),
        containers_may_do_little,
    ),
    (
        lambda d: pod(workloads(d)[0]).update(terminationGracePeriodSeconds=5),
        a_stop_has_time_to_end,
    ),
    (lambda d: workloads(d)[0]["spec"].update(replicas=5), voters_are_members_of_the_set),
]


def against_schemas(doc, version):
    try:
        kubernetes_validate.validate(copy.deepcopy(doc), version, strict=True)
    except kubernetes_validate.ValidationError as why:
        yield f"Kubernetes {version}: {why.message}"


def flags_are_taken(binary, docs):
    """Has the program check the flags, with something for each variable of the pod."""
    for workload in workloads(docs):
        for container in members(workload):
            words = [re.sub(r"\$\(POD_IP\)", "192.0.2.1", word) for word in container["args"][1:]]
            words = [re.sub(r"\$\(\w+\)", "some-name", word) for word in words]
            env = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
            line = [binary, "config", *words]
            ran = subprocess.run(line, env=env, capture_output=True, text=True)
            if ran.returncode != 0:
                yield f"{container['name']}: {ran.stderr.strip()}"


def a_secret_that_nobody_made_is_refused(binary):
    """What is in secret.yaml must not start a member, wherever the cluster puts it."""
    for variable in ("GAGGLE_SECRET", "GAGGLE_PASSWORD"):
        with tempfile.NamedTemporaryFile() as empty:
            env = {"PATH": os.environ["PATH"], f"{variable}_FILE": empty.name}
            ran = subprocess.run([binary, "config"], env=env, capture_output=True, text=True)
            if ran.returncode != 2 or f"{variable}_FILE" not in ran.stderr:
                yield f"an empty {variable}_FILE is taken: {ran.stderr.strip()}"


def main(binary):
    paths = sorted(FOLDER.glob("*.yaml"))
    files = {path: list(yaml.safe_load_all(path.read_text())) for path in paths}
    names = {path.name for path in files}
    expected = {"statefulset.yaml", "daemonset.yaml", "sidecar-native.yaml", "sidecar-plain.yaml"}
    faults = [f"missing: {name}" for name in sorted((expected | {"secret.yaml"}) - names)]
    checks = 1
    for path, docs in files.items():
        for doc in docs:
            for version in VERSIONS:
                checks += 1
                faults += [f"{path.name}: {why}" for why in against_schemas(doc, version)]
        for rule in RULES:
            checks += 1
            faults += [f"{path.name}: {why} ({rule.__name__})" for why in rule(docs)]
        if path.name in expected and not any(members(w) for w in workloads(docs)):
            faults.append(f"{path.name}: there is no member in it")
        if binary:
            checks += 1
            faults += [f"{path.name}: {why}" for why in flags_are_taken(binary, docs)]
    if binary:
        checks += 1
        faults += a_secret_that_nobody_made_is_refused(binary)
    native = workloads(files[FOLDER / "sidecar-native.yaml"])[0]
    if members(native)[0] not in pod(native)["initContainers"]:
        faults.append("sidecar-native.yaml: the member is no native sidecar")
    whole = files[FOLDER / "statefulset.yaml"]
    for at, (fault, rule) in enumerate(PLANTED):
        broken = copy.deepcopy(whole)
        fault(broken)
        checks += 1
        if not list(rule(broken)):
            faults.append(f"planted fault {at} is not seen by {rule.__name__}")
    unseen = set(RULES) - {rule for _, rule in PLANTED}
    faults += [f"no fault is planted for {rule.__name__}" for rule in unseen]
    broken = copy.deepcopy(first(whole, "Service"))
    broken["spec"]["publishNotReadyAddress"] = True
    if not list(against_schemas(broken, VERSIONS[-1])):
        faults.append("a field that Kubernetes does not know is not seen by the schemas")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(files)} manifests, {checks} checks, {len(faults)} faults")
    if not binary:
        print("skipped: the flags in the manifests, for no gaggle binary was named")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
