# Watershed in a container: docker build -t watershed . && docker run -p 8080:8080 -p 8189:8189/udp -p 8189:8189 -v watershed:/data watershed
#
# It has not been built yet: the machine that it was written on has no Docker.

FROM node:20-bookworm-slim AS pages
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web ./
RUN npm run build

FROM golang:1.26-bookworm AS binary
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=pages /src/web/dist web/dist
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /watershed ./cmd/watershed && mkdir /data

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ffmpeg ca-certificates tzdata \
 && rm -rf /var/lib/apt/lists/*
COPY --from=binary /watershed /usr/local/bin/watershed
# A number, so that Kubernetes can see that it is not root.
COPY --from=binary --chown=10001:10001 /data /data
USER 10001:10001
# The default data folder is ./data, and ./watershed.yaml is read if it is mounted there.
WORKDIR /
VOLUME /data
# Pages, API, WebSocket, WHIP, WHEP, HLS · media · RTSP · RTMP · SRT · cluster. Metrics listen on loopback until the configuration says otherwise.
EXPOSE 8080 8189/udp 8189 8554 1935 8890/udp 8443
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s CMD ["watershed", "health"]
ENTRYPOINT ["watershed"]
CMD ["serve"]
