# A version and not the line alone: an older one that lies about on the machine may lack security fixes that the proxy needs.
FROM node:24.21.0-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev

# Nothing in here is written at run time: --read-only will do, with a volume for spool.dir where bodies are spooled.
FROM node:24.21.0-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY config config
# The user `node`, by number: Kubernetes cannot tell that a name is not root.
USER 1000:1000
EXPOSE 9292 9190
# Reads the configuration from the environment, as the proxy does, but not the flags of the proxy.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["node", "dist/cli.js", "healthcheck"]
# Exec form: SIGTERM reaches the proxy, which drains. Give it the time: docker stop -t.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "dist/cli.js"]
