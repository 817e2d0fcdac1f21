/* l7gw/core/websocket.h - the handshake of WebSocket between versions of HTTP: HTTP/1.1 proves with a key that the server
 * understood, HTTP/2 does not.  So towards an HTTP/1.1 endpoint we make a key for an HTTP/2 client and check the answer, and
 * for an HTTP/1.1 client of an HTTP/2 endpoint we make the answer.  Layer: l7gw/core, pure.  (RFC 6455 4; RFC 8441 5) */
#pragma once
#include "lib/base.h"

#define WS_KEY_N 24    /* base64 of 16 bytes */
#define WS_ACCEPT_N 28 /* base64 of a SHA-1 */
void websocket_key(const uint8_t nonce[16], char ret[WS_KEY_N]) NONNULL(1, 2);
void websocket_accept(struct span key, char ret[WS_ACCEPT_N]) NONNULL(2);
