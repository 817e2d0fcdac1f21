"""The bill of materials of an image: SPDX 2.3, JSON.  Packages from dpkg's own records, and our programs.
Deterministic: sorted, and `created` is the commit's time."""
import json
import re
import time
import uuid


def identifier(text):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", text)


def of_package(name, fields):
    source = (fields.get("Source") or name).split(" ")
    version = source[1].strip("()") if len(source) > 1 else fields["Version"]
    return {
        "SPDXID": identifier("Package-deb-" + name), "name": name, "versionInfo": fields["Version"], "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION", "sourceInfo": "built from Debian source %s %s; licence in /usr/share/doc/%s/copyright" % (source[0], version, name),
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": "pkg:deb/debian/%s@%s?arch=%s&distro=debian-12" % (name, fields["Version"].replace("+", "%2B"), fields.get("Architecture", "amd64"))}]}


def spdx(release, packages):
    ours = {"SPDXID": "SPDXRef-Package-gatehouse", "name": "gatehouse", "versionInfo": release["version"], "supplier": "NOASSERTION",
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0",
            "copyrightText": "NOASSERTION", "primaryPackagePurpose": "OPERATING-SYSTEM", "sourceInfo": "commit " + release["commit"]}
    members = [of_package(n, packages[n]) for n in sorted(packages)]
    text = {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "gatehouse-%s" % release["version"],
            "creationInfo": {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(release["epoch"])), "creators": ["Tool: gatehouse-image"]},
            "packages": [ours, *members],
            "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": ours["SPDXID"]}] +
                             [{"spdxElementId": ours["SPDXID"], "relationshipType": "CONTAINS", "relatedSpdxElement": m["SPDXID"]} for m in members]}
    content = json.dumps(text, sort_keys=True)
    text["documentNamespace"] = "https://spdx.org/spdxdocs/gatehouse-%s-%s" % (release["version"], uuid.uuid5(uuid.NAMESPACE_OID, content))
    return (json.dumps(text, indent=1, sort_keys=True) + "\n").encode()
