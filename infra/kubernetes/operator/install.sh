#!/usr/bin/env bash
# Installs what the manifests need, or brings it up to date: network policies that count, the namespace, and KubeRay's
# operator. `glossa deploy` runs it. OPERATOR_REPOSITORY is the repository with a copy of the operator's image
# (output OperatorRepositoryUri of infra/cluster.yaml).
set -euo pipefail
cd "$(dirname "$0")"
VERSION=$(sed -n 's/^  tag: v//p' values.yaml) # the chart and its image have one version
: "${OPERATOR_REPOSITORY:?expected the repository that holds the image of the KubeRay operator, tag v$VERSION}"
kubectl apply --server-side --filename network-policy-controller.yaml
kubectl apply --server-side --filename ../namespace.yaml # the operator gets its rights in it
chart=(kuberay-operator --version "$VERSION" --repo https://ray-project.github.io/kuberay-helm/)
# Helm makes the kinds of a chart once and never changes them, and an old kind refuses the fields of a new one.
helm show crds "${chart[@]}" | kubectl apply --server-side --force-conflicts --filename -
exec helm upgrade kuberay-operator "${chart[@]}" --install --namespace kuberay-operator --create-namespace \
  --values values.yaml --set "image.repository=$OPERATOR_REPOSITORY" --atomic --timeout 5m
