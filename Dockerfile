# syntax=docker/dockerfile:1
# One image, every role: `docker run clarin <role>`. Nothing secret is in it; settings come from the environment.

# trixie and not bookworm: from Node 22 on the binaries of uWebSockets.js need glibc 2.38.
FROM node:24-trixie-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build

FROM node:24-trixie-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts
# uWebSockets.js brings a binary for every system and version of Node, 257 MB; this image runs one of them.
RUN node -e "console.log('uws_' + process.platform + '_' + process.arch + '_' + process.versions.modules + '.node')" > /tmp/keep \
  && find node_modules/uWebSockets.js -name 'uws_*.node' ! -name "$(cat /tmp/keep)" -delete \
  && node -e "require('uWebSockets.js')"

FROM node:24-trixie-slim
ENV NODE_ENV=production CLARIN_HOST=0.0.0.0
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
COPY bin/clarin.mjs bin/health.mjs ./bin/
# A new volume takes over whose this is.
RUN install --directory --owner=node --group=node --mode=0700 /var/lib/clarin/media
USER node
# api, feed, ingest, gateway
EXPOSE 8080 8081 8082 8083
# No shell and no npm between the signal and the program.
ENTRYPOINT ["node", "bin/clarin.mjs"]
CMD ["--help"]
