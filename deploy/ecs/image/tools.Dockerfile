# Image of the task `tools`, for the steps of the runbook: that of the nodes, with clients of PostgreSQL and
# Valkey. Run `docker build -f deploy/ecs/image/tools.Dockerfile --build-arg PIXLAKE=IMAGE .` in the top
# folder; push_image.sh does. Packages have the version of the day: push a new image to patch them.
ARG PIXLAKE
FROM ${PIXLAKE}
USER 0:0
RUN ["apt-get", "update", "--quiet"]
RUN ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", "postgresql-client", "redis-tools"]
RUN ["rm", "-rf", "/var/lib/apt/lists"]
# Valkey speaks the protocol of Redis; Debian 12 has no package of Valkey.
COPY --chmod=755 deploy/ecs/image/valkey-cli /usr/local/bin/valkey-cli
USER 10001:10001
ENTRYPOINT []
CMD ["sleep", "14400"]
