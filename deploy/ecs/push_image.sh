#!/bin/sh
# Build both images for both architectures and push them to the environment's repository.
# Usage: push_image.sh STAGE REGION TAG [BUILD-ARGUMENT ...]    such as: small eu-west-1 0.1.0
set -eu
stage="$1" region="$2" tag="$3"
shift 3
cd "$(dirname "$0")/../.."
curl --fail --silent --show-error -o deploy/ecs/image/certificates/rds.pem \
    https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem
repository=$(aws cloudformation describe-stacks --stack-name "pixlake-$stage-platform" --region "$region" \
    --query "Stacks[0].Outputs[?OutputKey=='OutRepository'].OutputValue" --output text)
aws ecr get-login-password --region "$region" | docker login -u AWS --password-stdin "${repository%/*}"
docker buildx build --platform linux/amd64,linux/arm64 -f deploy/ecs/image/Dockerfile \
    -t "$repository:$tag" --push "$@" .
# Image of the operators' task, from the one above.
exec docker buildx build --platform linux/amd64,linux/arm64 -f deploy/ecs/image/tools.Dockerfile \
    --build-arg "PIXLAKE=$repository:$tag" -t "$repository:$tag-tools" --push .
