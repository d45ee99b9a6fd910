# syntax=docker/dockerfile:1
# One image for every role: docker run … (ROLE=all, server or worker). See docs/deploying.md.

ARG NODE=node:24-trixie-slim

# --- Everything that is needed to build, and nothing of it in the image ---
FROM ${NODE} AS build
WORKDIR /app
ENV npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
COPY package.json package-lock.json ./
# All binaries come with the packages; only the SQLite of Node 20 would be compiled.
RUN npm ci --include=dev --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY bin bin
COPY db db
COPY server server
COPY public public
RUN node bin/build.mjs && npm prune --omit=dev --ignore-scripts && rm -r node_modules/better-sqlite3-12

# --- What runs ---
FROM ${NODE} AS run
LABEL org.opencontainers.image.title="Millrace" \
  org.opencontainers.image.description="Self-hosted media intake: resumable uploads in, streams that play out." \
  org.opencontainers.image.licenses="MIT"
# bubblewrap fences FFmpeg in where the host lets containers make user namespaces; elsewhere it is left out.
RUN apt-get update \
  && apt-get install -y --no-install-recommends bubblewrap ca-certificates ffmpeg tini \
  && rm -rf /var/lib/apt/lists/* \
  && groupadd --gid 10001 millrace \
  && useradd --uid 10001 --gid millrace --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin millrace \
  && install -d -o millrace -g millrace -m 0750 /data
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
ENV NODE_ENV=production NODE_OPTIONS=--enable-source-maps HOST=0.0.0.0 PORT=8080 DATA_DIR=/data LOG_FORMAT=json
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# Is the process alive? Whether it can do its work is /readyz's to say, for the proxy in front.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# tini reaps what FFmpeg leaves behind and passes signals on.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["node", "dist/server/main.js"]
