# gaggle in an empty image: one static binary, its licences, and a place for its data.
#
#   docker build -t gaggle .
#
# builds the binary inside. With a binary that is there already (prebuilt/gaggle, static, for this
# platform), nothing but that file is used and no other image is needed:
#
#   DOCKER_BUILDKIT=1 docker build --build-arg SOURCE=prebuilt -t gaggle .
ARG SOURCE=source

# ------------------------------------------------------------------ the binary, built from source
FROM rust:1-bookworm AS source
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin gaggle \
 && cp target/*-linux-gnu/release/gaggle /gaggle
WORKDIR /empty/data

# ------------------------------------------------------------------------ the binary, ready-made
FROM scratch AS prebuilt
COPY --chmod=0755 prebuilt/gaggle /gaggle
WORKDIR /empty/data

# ----------------------------------------------------------------------- the one that was chosen
FROM ${SOURCE} AS binary

# ------------------------------------------------------------------------------------- the image
FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
ARG REPOSITORY=unknown
LABEL org.opencontainers.image.title="gaggle" \
      org.opencontainers.image.description="A replicated configuration store: one static binary per host, members find each other, HTTPS and curl" \
      org.opencontainers.image.licenses="Apache-2.0 AND MPL-2.0" \
      org.opencontainers.image.vendor="the gaggle authors" \
      org.opencontainers.image.authors="the gaggle authors" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${REPOSITORY}" \
      org.opencontainers.image.url="${REPOSITORY}" \
      org.opencontainers.image.documentation="${REPOSITORY}" \
      org.opencontainers.image.base.name="scratch"
COPY LICENSE NOTICE /licenses/
COPY LICENSES/ /licenses/
# The empty folder gives /data its owner, and thus every new volume there, too.
COPY --from=binary --chown=65532:65532 /empty/ /
COPY --from=binary /gaggle /gaggle
ENV GAGGLE_DATA=/data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8000/tcp 2900/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/gaggle", "health"]
# A bare word after the image's name is the cluster's id: docker run gaggle my-cluster
ENTRYPOINT ["/gaggle"]
CMD ["serve"]
