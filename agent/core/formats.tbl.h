/* agent/core/formats.tbl.h - the text formats of the API: F(ID, check function of format.c, what an error says).
 * Patterns are those of the CRDs of Gateway API v1.6 and of Kubernetes' own validation, written as code: no regex
 * engine, linear time. */
#pragma once

#define FORMATS(F) \
        F(ANY, any, "any text") \
        F(SUBDOMAIN, subdomain, "must be a lower case DNS name such as \"web-1.prod\"") \
        F(LABEL, dns_label, "must be a lower case DNS label: letters, digits and \"-\", at most 63 characters") \
        F(SERVICE_NAME, service_name, "must be a lower case DNS label that starts with a letter") \
        F(HOSTNAME, hostname, "must be a lower case DNS name, or one with \"*.\" in front") \
        F(GROUP, group, "must be empty or a lower case DNS name") \
        F(KIND, kind, "must be a kind such as \"Service\"") \
        F(CONTROLLER, controller, "must look like \"example.net/gateway\"") \
        F(PROTOCOL, protocol, "must be a word such as \"HTTPS\", or \"example.net/word\"") \
        F(ADDRESS_TYPE, address_type, "must be IPAddress, Hostname, NamedAddress or \"example.net/word\"") \
        F(TOKEN, token, "must be a header name (RFC 9110 5.1): letters, digits and !#$%&'*+-.^_`|~") \
        F(HEADER_VALUE, header_value, "must be visible ASCII with single blanks inside") \
        F(URI_PATH, uri_path, "has a character that a path must write as %XX") \
        F(ORIGIN, origin, "must be \"*\" or an origin such as \"https://*.example.net:8443\"") \
        F(WELL_KNOWN_CA, well_known_ca, "must be System, or \"example.net/word\"") \
        F(ABSOLUTE_URI, absolute_uri, "must be an absolute URI such as \"spiffe://cluster.local/ns/a/sa/b\"") \
        F(LABEL_KEY, label_key, "must be a label key such as \"example.net/team\"") \
        F(LABEL_VALUE, label_value, "must be a label value: letters, digits, \"-\", \"_\", \".\", at most 63 characters") \
        F(DATA_KEY, data_key, "must be a key of letters, digits, \"-\", \"_\" and \".\"") \
        F(NETWORK, network, "must be a network such as \"10.0.0.0/8\" or \"2001:db8::/32\"") \
        F(STATUS_RANGE, status_range, "must be a status or a range of them, such as \"200\" or \"200-399\"") \
        F(PORT_NAME, port_name, "must be a lower case name with a letter, at most 15 characters")
