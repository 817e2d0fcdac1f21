/* agent/io/cert.h - reads a PEM certificate chain and its private key, and bundles of CA certificates, with libcrypto.  Layer: agent/io because it wraps a
 * library; it does no I/O and is a pure function of its input, so agent/core/translate.c calls it by pointer. */
#pragma once
#include "agent/core/translate.h"

cert_read_fn cert_read;
bundle_check_fn bundle_check;
