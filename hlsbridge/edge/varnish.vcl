vcl 4.1;

# Varnish 7 in front of a Watershed node: any number of viewers, one fetch an object.
#
#   varnishd -a :80 -f /etc/varnish/watershed.vcl -s malloc,1g
#
# Set the origin below, and open /hls/{stream}/index.m3u8 here. Requests for the same thing wait for one fetch together, also a playlist reload that
# the origin holds until its part is there; when it answers, all are answered. Varnish compresses and unpacks by itself, adds Age, and
# keeps objects as long as the node's Cache-Control says.
#
# It is for public streams. Varnish without extra modules cannot check the signature of a path token (/t/{token}/hls/...), so those requests
# go through to the node, each by itself: put the Worker (web/worker) or a Watershed shield before a crowd that needs tokens.

backend origin {
    .host = "127.0.0.1";
    .port = "8080";
    .connect_timeout = 2s;
    .first_byte_timeout = 12s; # a reload is held for nine seconds at most
    .between_bytes_timeout = 5s;
}

sub vcl_recv {
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    # Tokens and other people's cookies; HTTP-FLV and the growing segments of DASH have no end that a cache could wait for;
    # recordings are addressed by time, so hardly anything is asked for twice.
    if (req.http.Authorization || req.url ~ "^/(t|flv|dash)/" || req.url ~ "[?&](from|to)=") {
        return (pass);
    }
    if (req.url !~ "^/hls/") {
        return (synth(404));
    }
    unset req.http.Cookie;

    # Of a query only the delivery directives count, in one order. Else ?x=1 would be an object of its own.
    if (req.url ~ "\?") {
        set req.http.X-Directives = "";
        if (req.url ~ "[?&]_HLS_msn=") {
            set req.http.X-Directives = "&_HLS_msn=" + regsub(req.url, "^.*[?&]_HLS_msn=([^&]*).*$", "\1");
        }
        if (req.url ~ "[?&]_HLS_part=") {
            set req.http.X-Directives = req.http.X-Directives + "&_HLS_part=" + regsub(req.url, "^.*[?&]_HLS_part=([^&]*).*$", "\1");
        }
        if (req.url ~ "[?&]_HLS_skip=") {
            set req.http.X-Directives = req.http.X-Directives + "&_HLS_skip=" + regsub(req.url, "^.*[?&]_HLS_skip=([^&]*).*$", "\1");
        }
        set req.url = regsub(req.url, "\?.*$", "") + regsub(req.http.X-Directives, "^&", "?");
        unset req.http.X-Directives;
    }
    return (hash);
}

sub vcl_hash {
    hash_data(req.url); # whatever name the viewer knows us by
    return (lookup);
}

sub vcl_backend_response {
    # A stale playlist shows an edge that is no longer live, and everything else never changes: nothing is served after its time.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (beresp.status >= 500) {
        # "Not ready" is for everyone who waits, and for half a second: without this the next two minutes of requests would
        # go to the origin one by one, as for an object that cannot be cached.
        set beresp.ttl = 0.5s;
        return (deliver);
    }
}

sub vcl_backend_error {
    set beresp.ttl = 0.5s;
    set beresp.http.Retry-After = "2";
    set beresp.http.Access-Control-Allow-Origin = "*";
    set beresp.http.Content-Type = "text/plain; charset=utf-8";
    set beresp.body = "The stream's origin does not answer; try again in two seconds.";
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.Via;
    unset resp.http.X-Varnish;
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}
