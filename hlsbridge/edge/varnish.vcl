vcl 4.1;

import std;

# Varnish 7 in front of a Watershed node: any number of viewers, one fetch an object.
#
#   varnishd -a :80 -f /etc/varnish/watershed.vcl -s malloc,1g
#
# Set the origin below, and open /hls/{stream}/index.m3u8 here. Requests for the same thing wait for one fetch together, also a playlist reload that
# the origin holds until its part is there; when it answers, all are answered. Varnish compresses and unpacks by itself, adds Age, and
# keeps objects as long as the node's Cache-Control says.
#
# Streams that need a path token (/t/{token}/hls/...) are cached once, whatever token asks. Varnish without extra modules cannot check a signature, so
# it asks the node whether a token may read a stream, and believes the answer for ten seconds: a token that was revoked may still get what is here for so
# long, one that has expired may not. The node is asked once in that time for each token in use. What was fetched for a token is never given to who has none.

backend origin {
    .host = "127.0.0.1";
    .port = "8080";
    .connect_timeout = 2s;
    .first_byte_timeout = 12s; # a reload is held for nine seconds at most
    .between_bytes_timeout = 5s;
}

sub vcl_recv {
    if (req.restarts == 0) {
        unset req.http.X-Wanted; # what a token is for, while the node is asked whether it may
        unset req.http.X-May;    # it may
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    # Other people's permissions; HTTP-FLV and the growing segments of DASH have no end that a cache could wait for;
    # recordings are addressed by time, so hardly anything is asked for twice.
    if (req.http.Authorization || req.url ~ "^(/t/[^/]*)?/(flv|dash)/" || req.url ~ "[?&](from|to)=") {
        return (pass);
    }
    if (req.url ~ "^/t/" && !req.http.X-May) {
        if (req.url !~ "^/t/[^/]+/hls/[^/]+/" || std.integer(regsub(req.url, "^/t/v1\.[^./]+\.([0-9]+)\..*$", "\1"), 0) <= std.time2integer(now, 0)) {
            return (pass); # no token, or one that has expired: the node says so
        }
        set req.http.X-Wanted = req.url;
        set req.url = regsub(req.url, "^(/t/[^/]+/hls/[^/]+/).*$", "\1index.m3u8");
        unset req.http.Cookie;
        return (hash);
    }
    if (req.url !~ "^(/t/[^/]+)?/hls/") {
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
    if (req.http.X-Wanted) {
        hash_data("may " + req.url);
    } else if (req.http.X-May) {
        hash_data("t" + regsub(req.url, "^/t/[^/]+", ""));
    } else {
        hash_data(req.url); # whatever name the viewer knows us by
    }
    return (lookup);
}

sub vcl_backend_response {
    # A stale playlist shows an edge that is no longer live, and everything else never changes: nothing is served after its time.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (bereq.http.X-Wanted) {
        if (beresp.status == 200) {
            set beresp.ttl = 10s;
        } else {
            set beresp.uncacheable = true;
            set beresp.ttl = 1s;
        }
        return (deliver);
    }
    if (bereq.http.X-May && (beresp.status == 401 || beresp.status == 403)) {
        # One whose token was withdrawn meanwhile: that is this viewer's answer, and says nothing of the object. Kept as "cannot be cached", which is what
        # no-store would make of it, it would send everybody else's requests for this address to the origin one by one for two minutes.
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
        return (deliver);
    }
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
    if (req.http.X-Wanted && resp.status == 200) {
        set req.url = req.http.X-Wanted;
        unset req.http.X-Wanted;
        set req.http.X-May = "1";
        return (restart);
    }
    unset resp.http.Via;
    unset resp.http.X-Varnish;
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}
