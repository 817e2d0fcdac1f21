/* agent/core/features.tbl.h - GatewayClass.status.supportedFeatures: F("name"), sorted, only what both tiers really do.
 * The conformance suite infers its tests from this list, so a feature enters with the code that carries it; what l7gw
 * refuses is in l7gw/core/refused.tbl.h. */
#pragma once
#define SUPPORTED_FEATURES(F) \
        F("BackendTLSPolicy") \
        F("BackendTLSPolicySANValidation") \
        F("GRPCRoute") \
        F("GRPCRouteNamedRouteRule") \
        F("Gateway") \
        F("GatewayAddressEmpty") \
        F("GatewayBackendClientCertificate") \
        F("GatewayFrontendClientCertificateValidation") \
        F("GatewayFrontendClientCertificateValidationInsecureFallback") \
        F("GatewayHTTPListenerIsolation") \
        F("GatewayHTTPSListenerDetectMisdirectedRequests") \
        F("GatewayPort8080") \
        F("GatewayStaticAddresses") \
        F("HTTPRoute") \
        F("HTTPRoute303RedirectStatusCode") \
        F("HTTPRoute307RedirectStatusCode") \
        F("HTTPRoute308RedirectStatusCode") \
        F("HTTPRouteBackendProtocolH2C") \
        F("HTTPRouteBackendProtocolWebSocket") \
        F("HTTPRouteBackendRequestHeaderModification") \
        F("HTTPRouteBackendTimeout") \
        F("HTTPRouteCORS") \
        F("HTTPRouteDestinationPortMatching") \
        F("HTTPRouteHostRewrite") \
        F("HTTPRouteMethodMatching") \
        F("HTTPRouteNamedRouteRule") \
        F("HTTPRouteParentRefPort") \
        F("HTTPRoutePathRedirect") \
        F("HTTPRoutePathRewrite") \
        F("HTTPRoutePortRedirect") \
        F("HTTPRouteQueryParamMatching") \
        F("HTTPRouteRequestMirror") \
        F("HTTPRouteRequestMultipleMirrors") \
        F("HTTPRouteRequestPercentageMirror") \
        F("HTTPRouteRequestTimeout") \
        F("HTTPRouteResponseHeaderModification") \
        F("HTTPRouteRetry") \
        F("HTTPRouteRetryBackendTimeout") \
        F("HTTPRouteRetryConnectionError") \
        F("HTTPRouteSchemeRedirect") \
        F("ListenerSet") \
        F("ReferenceGrant") \
        F("TCPRoute") \
        F("TLSRoute") \
        F("TLSRouteModeMixed") \
        F("TLSRouteModeTerminate") \
        F("UDPRoute")
